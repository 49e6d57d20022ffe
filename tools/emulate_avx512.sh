#!/usr/bin/env bash
# Runs a static program for x86-64 Linux on an emulated CPU with AVX-512 (Bochs, Skylake-X), prints what it prints, and
# ends with its status. So code for AVX-512 is tested where no CPU has it:
#
#   NETWRIGHT_AVX512_EMULATOR=$PWD/tools/emulate_avx512.sh cargo test --release --workspace --test conformance avx512
#
# The program is all that runs on a Linux that is booted for it: it has no files but itself. Needs a kernel, from /boot or
# named by KERNEL (linux-image-cloud-amd64 is small), and from Debian 13 or later (before 3.0 Bochs has no AVX-512 that
# Linux would use)
#
#   apt-get install bochs bochs-term bochsbios vgabios isolinux syslinux-common xorriso cpio busybox-static
#
# BOCHS names another Bochs. One that is built with --enable-evex --enable-handlers-chaining --enable-repeat-speedups
# --enable-all-optimizations --with-nogui boots three times as fast as one with its debugger inside.
set -euo pipefail

bochs=${BOCHS:-bochs}
fail() { echo "emulate_avx512: $1" >&2; exit 125; }

[ $# -gt 0 ] || fail "usage: emulate_avx512.sh PROGRAM [ARGUMENT...]"
for tool in "$bochs" xorriso cpio busybox; do
  command -v "$tool" >/dev/null || fail "there is no \`$tool\`: the head of this script says what to install"
done
help=$("$bochs" --help 2>&1 || true)
if [ "$1" = --version ]; then
  grep -o "Bochs x86 Emulator.*" <<<"$help"
  exit
fi
kernel=${KERNEL:-$(find /boot -name 'vmlinuz-*' 2>/dev/null | sort -V | tail -1)}
[ -r "${kernel:-}" ] || fail "there is no kernel in /boot: name one by KERNEL"
[ -r "$1" ] || fail "there is no file \`$1\`"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/root/{bin,dev,proc} "$work"/disc/isolinux
cp "$(command -v busybox)" "$work/root/bin/busybox"
ln -s busybox "$work/root/bin/sh"
install -m 755 "$1" "$work/root/program"
strip "$work/root/program" 2>/dev/null || true
shift
cat >"$work/root/init" <<END
#!/bin/sh
/bin/busybox mount -t proc proc /proc
/bin/busybox grep -q avx512f /proc/cpuinfo || echo "== no AVX-512"
echo "== begin"
/program ${*@Q}
echo "== status \$?"
/bin/busybox poweroff -f
END
chmod 755 "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc --quiet) >"$work/disc/initrd"
cp "$kernel" "$work/disc/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/disc/isolinux/"
cat >"$work/disc/isolinux/isolinux.cfg" <<'END'
default program
label program
 kernel /vmlinuz
 append initrd=/initrd console=ttyS0,115200 loglevel=0 panic=-1 nokaslr mitigations=off tsc=reliable lpj=1000000
END
xorriso -as mkisofs -quiet -o "$work/disc.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
  -boot-load-size 4 -boot-info-table "$work/disc" >"$work/xorriso.log" 2>&1 || fail "$(cat "$work/xorriso.log")"
# The kernel unpacks the disc's files, so they are in memory twice for a while.
megabytes=$((512 + 2 * $(stat -c %s "$work/disc/initrd") / 1048576))
cat >"$work/bochsrc" <<END
cpu: model=corei7_skylake_x, count=1, ips=100000000, reset_on_triple_fault=0
megs: $megabytes
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
boot: cdrom
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/disc.iso, status=inserted
com1: enabled=1, mode=file, dev=$work/serial
clock: sync=none
log: /dev/null
panic: action=fatal
END
if grep -q -- '-rc ' <<<"$help"; then
  # Its debugger waits for a command, and its only display without a window is a terminal.
  echo c >"$work/commands"
  echo "display_library: term" >>"$work/bochsrc"
  TERM=linux script -qec "$bochs -q -f $work/bochsrc -rc $work/commands" /dev/null >"$work/bochs.log" 2>&1 </dev/null || true
else
  echo "display_library: nogui" >>"$work/bochsrc"
  "$bochs" -q -f "$work/bochsrc" >"$work/bochs.log" 2>&1 </dev/null || true
fi
tr -d '\r' <"$work/serial" >"$work/printed" 2>/dev/null || fail "the emulator did not start: $(tail -3 "$work/bochs.log")"
! grep -q '^== no AVX-512$' "$work/printed" || fail "the emulated Linux has no AVX-512: this Bochs is too old, or built without it"
output=$(sed -n '/^== begin$/,$p' "$work/printed" | sed 1d)
status=$(sed -n 's/^== status //p' <<<"$output" | tail -1)
[ -n "$status" ] || fail "the emulated machine did not get to the end: $(tail -3 "$work/bochs.log")"
sed '/^== status /,$d' <<<"$output"
exit "$status"
