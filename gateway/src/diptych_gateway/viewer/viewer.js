/** Shows the gateway's own description; asks nobody else, and keeps no token. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

window.viewer = window.SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#viewer",
  presets: [window.SwaggerUIBundle.presets.apis],
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  persistAuthorization: false,
});
