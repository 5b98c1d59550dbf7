{{- define "rexflow.labels" -}}
app.kubernetes.io/name: flowd
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: rexflow
rexflow.io/installation: {{ .Release.Namespace }}
{{- end }}
{{- define "rexflow.sidecar" -}}
{{ .Values.sidecar.image | default (printf "localhost/flow-sidecar:%s" .Chart.AppVersion) }}
{{- end }}
