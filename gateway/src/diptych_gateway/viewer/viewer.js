/** Shows the gateway's own description; asks nobody else, and keeps no token. */

window.viewer = window.SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#viewer",
  presets: [window.SwaggerUIBundle.presets.apis],
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  persistAuthorization: false,
});
