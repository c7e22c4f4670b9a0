{{/*
Helpers take (dict "root" $ "part" NAME): the release, and `gateway` or the id of a model.
*/}}

{{/* Name of everything that a part has. 46 characters and "-weights-" and a hash make 63, the most. */}}
{{- define "diptych.name" -}}
{{- $name := printf "%s-%s" .root.Release.Name .part -}}
{{- if gt (len $name) 46 -}}
{{- printf "%s-%s" (trunc 37 $name | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{/* What never changes in the life of a release: selectors cannot, and pods with other labels are new ones. */}}
{{- define "diptych.selector" -}}
app.kubernetes.io/name: diptych
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "diptych.labels" -}}
{{ include "diptych.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "diptych.metadata" -}}
name: {{ include "diptych.name" . }}
labels: {{- include "diptych.labels" . | nindent 2 }}
{{- end -}}

{{/* `image` of the part goes first. */}}
{{- define "diptych.image" -}}
{{- $image := .root.Values.image -}}
{{- if .image -}}
{{ .image }}
{{- else -}}
{{ with $image.registry }}{{ . | trimSuffix "/" }}/{{ end }}diptych-{{ .part }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What all pods have in common. */}}
{{- define "diptych.pod" -}}
automountServiceAccountToken: false
# Or a Service named `diptych` would put DIPTYCH_PORT=tcp://... into the environment.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "diptych.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Replicas on different nodes, where there are some. */}}
{{- define "diptych.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "diptych.selector" . | nindent 6 }}
{{- end -}}

{{/* Longer than what a process takes to stop: preStop, notice, drain, and 5 s of the server's own. */}}
{{- define "diptych.graceSeconds" -}}
{{ add .root.Values.drainSeconds 20 }}
{{- end -}}

{{/*
Variables of a container: what the chart sets (`own`) and what values add (`given`). Kubernetes
takes two of one name and uses the last; here it is an error.
*/}}
{{- define "diptych.env" -}}
{{- $own := .own -}}
{{- range $name, $_ := .given -}}
{{- if hasKey $own $name -}}
{{- fail (printf "%s.env.%s: the chart sets this variable to %q; remove it from env" $.where $name (get $own $name)) -}}
{{- end -}}
{{- end -}}
{{- $entries := list -}}
{{- range $name, $value := merge (dict) $own .given -}}
{{- $entries = append $entries (dict "name" $name "value" $value) -}}
{{- end -}}
{{- toYaml $entries -}}
{{- end -}}

{{/* Every model listens here: each pod has an address of its own. */}}
{{- define "diptych.modelPort" -}}50061{{- end -}}
{{- define "diptych.metricsPort" -}}9464{{- end -}}

{{/* What a model has, from its entry and from modelDefaults, as YAML. */}}
{{- define "diptych.model" -}}
{{- $given := index .root.Values.models .part | default dict -}}
{{- mergeOverwrite (deepCopy .root.Values.modelDefaults) (deepCopy $given) | toYaml -}}
{{- end -}}

{{/* The claim that holds a model's weights; empty where they are in the image. */}}
{{- define "diptych.weightsClaim" -}}
{{- if .model.weights.claim -}}
{{ .model.weights.claim }}
{{- else if .model.weights.pull -}}
{{ include "diptych.name" . }}-weights
{{- end -}}
{{- end -}}
