#!/bin/busybox sh
# First process of a guest: mounts, runs /job/command, reports, powers off.
# stdout, stderr, the exit status and what lies in /out leave by a virtio-serial port each.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mkdir -p /run/netns /run/lock
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf 2>/dev/null
ln -sf /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr

# Only what this script needs, and what was asked for; a kernel may have them built in.
modprobe -aq virtio_pci virtio_console virtio_blk virtio_rng ext4 2>/dev/null
xargs -r modprobe -a </job/modules

# A port is there before the host has told its name.
find_ports() {
  for port in /sys/class/virtio-ports/*; do
    [ -e "$port/name" ] && read -r name <"$port/name" && eval "port_$name=/dev/${port##*/}"
  done
  [ -n "$port_stdout" ] && [ -n "$port_stderr" ] && [ -n "$port_out" ] && [ -n "$port_status" ]
}
tries=0
until find_ports || [ $((tries += 1)) -gt 400 ]; do sleep 0.05; done

hostname weir
ip link set lo up

while read -r serial at; do
  for disk in /sys/block/vd*; do
    if [ "$(cat "$disk/serial")" = "$serial" ]; then
      mkdir -p "$at"
      mount -t ext4 -o noatime "/dev/${disk##*/}" "$at" || echo "weir: can't mount $serial at $at" >/dev/console
    fi
  done
done </job/mounts

# A port can be opened once only, but programs reopen /dev/stderr: a pipe lies between.
mkfifo /run/stdout /run/stderr
cat /run/stdout >"$port_stdout" &
out=$!
cat /run/stderr >"$port_stderr" &
err=$!

cd /share
setsid bash /job/command >/run/stdout 2>/run/stderr </dev/null
status=$?
cd /

# What the command left running holds the pipes open and would be waited for. It has a session
# of its own; this script, its pipes and the kernel's threads have none.
for process in /proc/[0-9]*; do
  read -r stat <"$process/stat" && set -- ${stat##*) } && [ "$4" != 0 ] && kill -9 "${process#/proc/}"
done 2>/dev/null
wait $out $err
if [ -n "$(ls -A /out)" ]; then tar cf "$port_out" -C /out .; fi
echo "$status" >"$port_status"
poweroff -f
