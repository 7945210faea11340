{{- define "fl.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "fl.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "fl.claim" -}}
{{ .Values.data.existingClaim | default (printf "%s-data" .Release.Name) }}
{{- end }}

{{- define "fl.pod" -}}
automountServiceAccountToken: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "fl.container" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
  - {name: DATABASE_URL, value: {{ .Values.database.url | quote }}}
  - {name: REDIS_URL, value: {{ .Values.broker.url | quote }}}
  - {name: FL_DATABASE_PASSWORD_FILE, value: /secrets/database_password}
  - {name: FL_SECRET_KEY_FILE, value: /secrets/secret_key}
  - {name: FL_ALLOWED_HOSTS, value: {{ join "," .Values.hosts | quote }}}
  - {name: FL_BEHIND_PROXY, value: {{ ternary "1" "0" .Values.ingress.enabled | quote }}}
  {{- range $name, $value := .Values.settings }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
volumeMounts:
  - {name: data, mountPath: /data}
  - {name: secrets, mountPath: /secrets, readOnly: true}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "fl.volumes" -}}
- name: data
  persistentVolumeClaim: {claimName: {{ include "fl.claim" . }}}
- name: secrets
  secret: {secretName: {{ .Values.secret }}, defaultMode: 0440}
- name: tmp
  emptyDir: {}
{{- end }}
