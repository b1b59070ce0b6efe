{{- define "lipsync.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* Labels that never change: context "root", "component". */}}
{{- define "lipsync.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "lipsync.labels" -}}
{{ include "lipsync.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "lipsync.image" -}}
{{ printf "%s%s:%s" .root.Values.image.registry .name (.root.Values.image.tag | default .root.Chart.AppVersion) }}
{{- end -}}

{{- define "lipsync.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (ternary (include "lipsync.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end -}}

{{- define "lipsync.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "lipsync.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/*
The environment of a process: context "root", "settings" (those of the component), "isApi". toJson keeps a large number as it is;
quote alone would write 1.073741824e+10.
*/}}
{{- define "lipsync.env" -}}
{{- $values := .root.Values -}}
{{- $fixed := dict "LIPSYNC_ARTIFACT_STORE" $values.storage.kind "LIPSYNC_DATA_DIR" "/storage/data" "LIPSYNC_OUTPUT_DIR" "/storage/outputs" -}}
{{- if $values.marking.secretName -}}
{{- $fixed = merge $fixed (dict "LIPSYNC_MARKING_KEY_PATH" "/marking/tls.key" "LIPSYNC_MARKING_CERTIFICATE_PATH" "/marking/tls.crt") -}}
{{- end -}}
{{- $settings := mergeOverwrite (dict) $values.settings .settings $fixed -}}
{{- range $name, $value := $settings }}
- { name: {{ $name }}, value: {{ kindIs "string" $value | ternary $value ($value | toJson) | quote }} }
{{- end }}
{{- $apiOnly := list "LIPSYNC_API_KEYS" -}}
{{- range $name, $source := $values.secrets }}
{{- if or $.isApi (not (has $name $apiOnly)) }}
- name: {{ $name }}
  valueFrom: { secretKeyRef: { name: {{ $source.name | quote }}, key: {{ $source.key | quote }} } }
{{- end }}
{{- end }}
{{- if $values.redis.enabled }}
- name: REDIS_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ $values.redis.passwordSecret.name | quote }}, key: {{ $values.redis.passwordSecret.key | quote }} } }
- name: REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "lipsync.fullname" .root }}-redis:6379
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "lipsync.volumeMounts" -}}
- { name: tmp, mountPath: /tmp }
- { name: {{ eq .Values.storage.kind "file" | ternary "storage" "cache" }}, mountPath: /storage }
{{- if .Values.marking.secretName }}
- { name: marking, mountPath: /marking, readOnly: true }
{{- end }}
{{- if .Values.models.claimName }}
- { name: models, mountPath: /models, readOnly: true }
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "lipsync.volumes" -}}
- name: tmp
  emptyDir: { sizeLimit: {{ .Values.temporarySize }} }
{{- if eq .Values.storage.kind "file" }}
- name: storage
  persistentVolumeClaim: { claimName: {{ .Values.storage.file.claimName | default (printf "%s-storage" (include "lipsync.fullname" .)) }} }
{{- else }}
- name: cache
  emptyDir: { sizeLimit: {{ .Values.storage.s3.cacheSize }} }
{{- end }}
{{- with .Values.marking.secretName }}
- name: marking
  secret: { secretName: {{ . }} }
{{- end }}
{{- with .Values.models.claimName }}
- name: models
  persistentVolumeClaim: { claimName: {{ . }}, readOnly: true }
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
What API and workers have in common: context "root", "component", "part". A token for S3 is mounted in spite of
automountServiceAccountToken. In a shared process namespace, the first process collects those whose parents ended.
*/}}
{{- define "lipsync.podCommon" -}}
serviceAccountName: {{ include "lipsync.serviceAccountName" .root }}
automountServiceAccountToken: false
shareProcessNamespace: true
securityContext:
  {{- include "lipsync.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  {{- include "lipsync.volumes" .root | nindent 2 }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "lipsync.selector" . | nindent 8 }}
{{- end -}}

{{/* Probes of a port. Readiness takes up to 2.5 s while Redis hangs. */}}
{{- define "lipsync.probes" -}}
startupProbe:
  httpGet: { path: /health, port: {{ . }} }
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /health, port: {{ . }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /ready, port: {{ . }} }
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end -}}
