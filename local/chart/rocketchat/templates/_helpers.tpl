{{- define "rocketchat.name" -}}
{{ printf "%s-rocketchat" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "rocketchat.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/version: {{ include "rocketchat.tag" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "rocketchat.selector" . }}
{{- end }}

{{- define "rocketchat.selector" -}}
app.kubernetes.io/name: rocketchat
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rocketchat.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "rocketchat.databaseSecret" -}}
{{ .Values.existingMongodbSecret | default (include "rocketchat.name" .) }}
{{- end }}

{{- define "rocketchat.databaseEnvironment" -}}
- name: MONGO_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "rocketchat.databaseSecret" . }}
      key: mongo-uri
{{- end }}
