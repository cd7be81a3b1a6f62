#!/usr/bin/env bash
# Build one target of the Dockerfile without Docker and without any registry of images: buildah with chroot isolation, on
# a base of Debian's own packages (debootstrap, Debian's Python 3.11) in place of python:3.11-slim. Python's packages come
# from where pip and uv find them. Needs Linux, root, and Debian's buildah and debootstrap.
#
#   deploy/docker/build-offline.sh ingest        # or features, canary; inference needs PyTorch's own index
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${1:?one target: ingest, features, canary}
state=$(realpath -m "${GAITWAY_BUILD_STATE:-build/containers}")
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
base=localhost/gaitway/debian-python:bookworm
mkdir -p "$state"

buildah() {
    command buildah --root "$state/storage" --runroot "$state/run" --storage-driver vfs "$@"
}

if ! buildah inspect --type image "$base" > /dev/null 2>&1; then
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$state/rootfs"
    container=$(buildah from scratch)
    buildah copy --quiet "$container" "$state/rootfs" / > /dev/null
    buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    buildah commit --quiet "$container" "$base" > /dev/null
    buildah rm "$container" > /dev/null
    rm -rf "$state/rootfs"
fi

# Certificates of this machine, for pip and for uv, while it builds; nothing of them stays in the image.
echo 'native-tls = true' > "$state/uv.toml"
buildah build --isolation chroot --network host --format docker --pull-never \
    --build-arg PYTHON_IMAGE="$base" \
    --volume /etc/ssl/certs:/etc/ssl/certs:ro \
    --volume "$state/uv.toml:/etc/uv/uv.toml:ro" \
    --target "$target" --tag "gaitway/$target:$version" .
buildah images
