# The page of mir-tf app, for a network of people you trust: docs/install.md explains how to start it.
FROM python:3.11-slim
ENV PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir .
# The user nobody can write only to /tmp, which is where the app keeps uploads.
ENV HOME=/tmp
WORKDIR /tmp
USER nobody
EXPOSE 8000
CMD ["mir-tf", "app", "--host", "0.0.0.0", "--port", "8000", "--no-browser"]
