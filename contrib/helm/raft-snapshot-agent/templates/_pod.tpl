{{/* The pod; call it with (dict "top" . "once" true) for `run --once`. */}}
{{- define "agent.pod" -}}
{{- $top := .top -}}
{{- $values := .top.Values -}}
{{- $port := and (not .once) (include "agent.port" $top) -}}
metadata:
  labels:
    {{- include "agent.labels" $top | nindent 4 }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "agent.serviceAccount" $top }}
  automountServiceAccountToken: {{ eq (include "agent.needsApi" $top) "true" }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  {{- if .once }}
  restartPolicy: Never
  {{- end }}
  {{- range $key := list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" "hostAliases" "dnsConfig" }}
  {{- with index $values $key }}
  {{ $key }}: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  containers:
    - name: agent
      image: {{ include "agent.image" $top | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        - run
        {{- if .once }}
        - --once
        {{- end }}
        {{- with $values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $values.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if $port }}
      ports:
        - {name: http, containerPort: {{ $port }}, protocol: TCP}
      {{- with $values.livenessProbe }}
      livenessProbe:
        httpGet: {path: /healthz, port: http, scheme: {{ include "agent.scheme" $top | upper }}}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.readinessProbe }}
      readinessProbe:
        httpGet: {path: /readyz, port: http, scheme: {{ include "agent.scheme" $top | upper }}}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
      volumeMounts:
        # Without subPath, so that a changed Secret arrives.
        - {name: config, mountPath: /etc/raft-snapshot-agent, readOnly: true}
        - {name: spool, mountPath: /var/cache/raft-snapshot-agent}
        - {name: run, mountPath: /run/raft-snapshot-agent}
        {{- if $values.vaultToken.enabled }}
        - {name: vault-token, mountPath: /var/run/secrets/vault, readOnly: true}
        {{- end }}
        {{- if $values.persistence.enabled }}
        - {name: backups, mountPath: {{ $values.persistence.mountPath | quote }}}
        {{- end }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      secret:
        secretName: {{ include "agent.secret" $top }}
        defaultMode: 0440
    - name: spool
      {{- if $values.spool.volume }}
      {{- toYaml $values.spool.volume | nindent 6 }}
      {{- else }}
      emptyDir: {sizeLimit: {{ $values.spool.sizeLimit }}}
      {{- end }}
    - name: run
      emptyDir: {medium: Memory, sizeLimit: 1Mi}
    {{- if $values.vaultToken.enabled }}
    - name: vault-token
      projected:
        defaultMode: 0440
        sources:
          - serviceAccountToken:
              path: token
              audience: {{ $values.vaultToken.audience | quote }}
              expirationSeconds: {{ $values.vaultToken.expirationSeconds }}
    {{- end }}
    {{- if $values.persistence.enabled }}
    - name: backups
      persistentVolumeClaim:
        claimName: {{ default (include "agent.fullname" $top) $values.persistence.existingClaim }}
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
