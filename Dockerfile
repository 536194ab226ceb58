# The worker and the command line. Not Alpine: there is no musl build of the Temporal SDK's core.
FROM node:24.11.1-bookworm-slim
# The backup needs pg_dump, pg_restore and, for the proof of a restore, a server of the same major.
RUN apt-get update \
  && apt-get install --yes --no-install-recommends ca-certificates postgresql-common \
  && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
  && apt-get install --yes --no-install-recommends postgresql-18 \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /sluice
COPY package.json package-lock.json ./
RUN npm ci --omit=dev
COPY . .
RUN mkdir /backups && chown node /backups
USER node
ENTRYPOINT ["node", "bin/sluice.js"]
CMD ["worker"]
