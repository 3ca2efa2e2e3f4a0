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

{{- /* As Bitnami's charts do: given, else looked up, else made up, and an upgrade must find it. */ -}}
{{- define "rocketchat.rootPassword" -}}
{{- $auth := .Values.mongodb.auth -}}
{{- $known := lookup "v1" "Secret" .Release.Namespace (printf "%s-mongodb" .Release.Name) -}}
{{- if not $auth.rootPassword -}}
{{- if $known -}}
{{- $_ := set $auth "rootPassword" (index $known.data "mongodb-root-password" | b64dec) -}}
{{- else if .Release.IsUpgrade -}}
{{- fail "PASSWORDS ERROR: You must provide your current passwords when upgrading the release." -}}
{{- else -}}
{{- $_ := set $auth "rootPassword" (randAlphaNum 10) -}}
{{- end -}}
{{- end -}}
{{ $auth.rootPassword }}
{{- end }}
