# One recipe, three images: --target api, --target worker, and --target gpu-worker for x64 machines with an NVIDIA GPU. All ship
# built JavaScript and run as a user without rights.
FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json pnpm-lock.yaml pnpm-workspace.yaml tsconfig.base.json ./
COPY apps/api apps/api
COPY apps/worker apps/worker
COPY packages packages
COPY scripts/use-built-exports.mjs scripts/
RUN npx -y pnpm@12.21.0 install --frozen-lockfile \
 && npx -y pnpm@12.21.0 run build \
 && node scripts/use-built-exports.mjs packages/lipsync-core packages/lipsync-queue \
 && npx -y pnpm@12.21.0 --filter @lipsync/api deploy --prod /ship/api \
 && npx -y pnpm@12.21.0 --filter @lipsync/worker deploy --prod /ship/worker

FROM node:24-bookworm-slim AS base
ENV NODE_ENV=production LIPSYNC_DATA_DIR=/data LIPSYNC_OUTPUT_DIR=/outputs
RUN mkdir /data /outputs && chown node:node /data /outputs
VOLUME ["/data", "/outputs"]
WORKDIR /app

FROM base AS api
COPY --from=build /ship/api ./
USER node
ENV HOST=0.0.0.0 PORT=3000
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/health').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/main.js"]

# ONNX Runtime's part of CUDA is too large for its package; the package's own script fetches it. Elsewhere that script
# does not run, and on other machines than x64 it fetches nothing, which is noticed here.
FROM build AS cuda-build
RUN cd /ship/worker/node_modules/.pnpm/onnxruntime-node@*/node_modules/onnxruntime-node \
 && ONNXRUNTIME_NODE_INSTALL=cuda12 node script/install \
 && test -f bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so

# With the CUDA 12 and cuDNN 9 that it was built for. The volumes are shared with the other images: their user "node" has these ids.
FROM nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04 AS gpu-worker
ENV NODE_ENV=production LIPSYNC_DATA_DIR=/data LIPSYNC_OUTPUT_DIR=/outputs
# Parts of the host's driver that a container is given; Vulkan, which WebGPU runs on, comes with graphics.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics,video
# The driver's part of Vulkan is linked with libXext, also where no screen is.
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg libvulkan1 libxext6 && rm -rf /var/lib/apt/lists/* \
 && mkdir /data /outputs && chown 1000:1000 /data /outputs
VOLUME ["/data", "/outputs"]
WORKDIR /app
COPY --from=base /usr/local/bin/node /usr/local/bin/
COPY --from=cuda-build /ship/worker ./
USER 1000:1000
# The one of the image prints a banner between our log lines.
ENTRYPOINT []
CMD ["node", "dist/main.js"]

FROM base AS worker
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg && rm -rf /var/lib/apt/lists/*
COPY --from=build /ship/worker ./
USER node
CMD ["node", "dist/main.js"]
