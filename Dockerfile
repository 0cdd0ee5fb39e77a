# Two images from one file: `web` (no torch) and `worker` (torch by --build-arg CANDID8_TORCH=cpu|cuda).
FROM node:24-slim AS pages
WORKDIR /build/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY frontend ./
RUN npm run build

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 CANDID8_HOME=/var/lib/candid8
RUN useradd --system --create-home --home-dir /var/lib/candid8 candid8 \
  && install -d -o candid8 -g candid8 /var/lib/candid8/beat
WORKDIR /app

FROM base AS web
COPY requirements-server.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-server.lock
COPY . .
COPY --from=pages /build/frontend/static frontend/static
# Collecting reads settings but no service: the values only have to be there.
RUN SECRET_KEY=collecting-static-files-needs-none DATABASE_URL=postgresql:///none REDIS_URL=redis://none:6379/0 \
  S3_ENDPOINT_URL=http://none S3_ACCESS_KEY_ID=none S3_SECRET_ACCESS_KEY=none \
  python manage.py collectstatic --noinput --verbosity 0
USER candid8

FROM base AS worker
ARG CANDID8_TORCH=cpu
COPY requirements-worker.lock pyproject.toml ./
RUN pip install --no-cache-dir --require-hashes -r requirements-worker.lock \
  && version="$(python -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["tool"]["candid8"]["torch"])')" \
  && case "$CANDID8_TORCH" in \
    cpu) pip install --no-cache-dir --no-deps --index-url https://download.pytorch.org/whl/cpu "torch==$version+cpu" ;; \
    cuda) pip install --no-cache-dir "torch==$version" ;; \
    *) echo "CANDID8_TORCH is cpu or cuda" >&2; exit 1 ;; \
  esac
COPY . .
USER candid8
