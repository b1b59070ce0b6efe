# Three images: --target api, --target worker, and --target gpu-worker for x64 machines with an NVIDIA GPU. All contain built
# JavaScript and run as the unprivileged user "node". It is given by its ids, because Kubernetes cannot verify runAsNonRoot for a name.
FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json pnpm-lock.yaml pnpm-workspace.yaml tsconfig.base.json ./
COPY apps/api apps/api
COPY apps/worker apps/worker
COPY packages packages
COPY scripts/use-built-exports.mjs scripts/
RUN npx -y pnpm@12.21.0 install --frozen-lockfile \
 && npx -y pnpm@12.21.0 run build \
 && node scripts/use-built-exports.mjs packages/lipsync-client packages/lipsync-core packages/lipsync-queue \
 && npx -y pnpm@12.21.0 --filter @lipsync/api deploy --prod /ship/api \
 && npx -y pnpm@12.21.0 --filter @lipsync/worker deploy --prod /ship/worker

FROM node:24-bookworm-slim AS base
ENV NODE_ENV=production LIPSYNC_DATA_DIR=/data LIPSYNC_OUTPUT_DIR=/outputs
RUN mkdir /data /outputs && chown node:node /data /outputs
VOLUME ["/data", "/outputs"]
WORKDIR /app

FROM base AS api
COPY LICENSE THIRD_PARTY_NOTICES ./
COPY --from=build /ship/api ./
COPY docs/http-api.md docs/batches.md docs/webhooks.md docs/inputs.md docs/errors.md docs/quality.md docs/
COPY docs/configuration.md docs/operations.md docs/
COPY docs/monitoring.md docs/redis.md docs/storage.md docs/object-store.md docs/kubernetes.md docs/gpus.md docs/
COPY docs/marking.md docs/data-protection.md docs/measurements.md docs/
COPY docs/pictures docs/pictures
USER 1000:1000
ENV HOST=0.0.0.0 PORT=3000
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/health').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/main.js"]

# The CUDA libraries of ONNX Runtime are too large for its npm package; its install script fetches them. pnpm does not run
# that script, and on other platforms than x64 it fetches nothing, so the build checks for the library.
FROM build AS cuda-build
RUN cd /ship/worker/node_modules/.pnpm/onnxruntime-node@*/node_modules/onnxruntime-node \
 && ONNXRUNTIME_NODE_INSTALL=cuda12 node script/install \
 && test -f bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so

# ONNX Runtime is built for CUDA 12 and cuDNN 9. The ids are those of the other images, which share the volumes.
FROM nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04 AS gpu-worker
ENV NODE_ENV=production LIPSYNC_DATA_DIR=/data LIPSYNC_OUTPUT_DIR=/outputs
# Driver capabilities for the container; "graphics" includes Vulkan, which WebGPU uses.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics,video
# The Vulkan driver links to libXext, even on a machine without a display.
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg libvulkan1 libxext6 && rm -rf /var/lib/apt/lists/* \
 && mkdir /data /outputs && chown 1000:1000 /data /outputs
VOLUME ["/data", "/outputs"]
WORKDIR /app
COPY --from=base /usr/local/bin/node /usr/local/bin/
COPY LICENSE THIRD_PARTY_NOTICES ./
COPY --from=cuda-build /ship/worker ./
USER 1000:1000
ENV METRICS_HOST=0.0.0.0 METRICS_PORT=9464
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.METRICS_PORT + '/health').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# The entrypoint of the base image prints a banner among the log lines.
ENTRYPOINT []
CMD ["node", "dist/main.js"]

FROM base AS worker
COPY LICENSE THIRD_PARTY_NOTICES ./
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg && rm -rf /var/lib/apt/lists/*
COPY --from=build /ship/worker ./
USER 1000:1000
ENV METRICS_HOST=0.0.0.0 METRICS_PORT=9464
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.METRICS_PORT + '/health').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/main.js"]
