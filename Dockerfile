# Two stages: the wheel is built with its bundled front end, then installed into an image without any build tool.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/merpati merpati
COPY config/constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir -c /tmp/constraints.txt /wheels/*.whl && rm -rf /wheels /tmp/constraints.txt
USER merpati
WORKDIR /var/lib/merpati
ENV MERPATI_SERVER__DATA_DIR=/var/lib/merpati/data \
    MERPATI_SERVER__HOST=0.0.0.0 \
    MERPATI_MX__HOST=0.0.0.0
VOLUME /var/lib/merpati/data
EXPOSE 8025 8026
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8025/health/ready', timeout=4)"
ENTRYPOINT ["merpati"]
CMD ["serve"]
