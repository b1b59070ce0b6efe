# One recipe, two images: --target api and --target worker. Both ship built JavaScript and run as a user without rights.
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

FROM base AS worker
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg && rm -rf /var/lib/apt/lists/*
COPY --from=build /ship/worker ./
USER node
CMD ["node", "dist/main.js"]
