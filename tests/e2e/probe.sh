# What a process can see of its confinement, by sections that begin with "### NAME". For busybox as for Debian.
s() { echo "### $1"; }
s id; id
s status; grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Seccomp_filters|NSpid|NSpgid|NSsid|Umask|SigCgt):' /proc/1/status
    # Of a child: the shell itself blocks all for a moment while it starts one.
    grep ^SigBlk /proc/self/status
    # Signal 32 is the C library's and inherited from whoever started everything.
    printf 'SigIgn %x\n' $(( 0x$(sed -n 's/^SigIgn:.//p' /proc/1/status) & 0x7fffffff ))
s pid; [ $$ = 1 ] && echo one; cat /proc/1/comm
s processors; grep -c ^processor /proc/cpuinfo; grep Cpus_allowed: /proc/self/status
s limits; cut -c1-65 /proc/self/limits
s env; env | sed 's/^HOSTNAME=[0-9a-f]\{12\}$/HOSTNAME=ID/' | sort
s directory; pwd; umask
s hostname; [ "$(hostname)" = "$(cat /etc/hostname)" ] && hostname | sed 's/[0-9a-f]/x/g'
s hosts; sed 's/[0-9a-f]\{12\}$/ID/' /etc/hosts
s mounts; while read -r source target type options rest; do
    case $type in cgroup*) continue;; overlay) options=; esac
    case $target in /etc/*) source=file type=file; options=${options%%,*};; esac
    echo "$target $type $source $options"
  done </proc/mounts | sed 's/,size=[0-9]*k//; s/,inode64//; s/,nr_inodes=[0-9]*//; s/,uid=[0-9]*//; s/,gid=[0-9]*//' | sort
s cgroups; grep cgroup /proc/mounts | cut -d' ' -f2,3 | sort; ls /sys/fs/cgroup | sort
s dev; cd /dev; for f in * pts/ptmx; do [ "$f" = '*' ] || stat -c '%n %F %a %u:%g %t:%T' $f; done | sort; for f in fd stdin stdout stderr ptmx core; do readlink $f; done
s proc; ls /proc | grep -v '^[0-9]' | sort
s sys; ls /sys /sys/fs /sys/kernel | sort
s root; cd /; stat -c '%n %F %a %u:%g' / /* /etc/hosts /etc/hostname /etc/resolv.conf /dev/shm /dev/mqueue /dev/pts | sort
s masked; for f in /proc/acpi /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do
    if [ -d $f ]; then echo $f directory $(ls -A $f | wc -l); elif [ -e $f ]; then echo $f file $(wc -c <$f 2>&1); fi; done
s readonly; for f in /proc/bus /proc/fs /proc/irq /proc/sys /sys /sys/fs/cgroup; do [ -e $f ] && { touch $f/x 2>&1 | sed 's/.*: //'; }; done
    for f in /proc/sysrq-trigger /proc/sys/kernel/domainname; do (echo x >$f) 2>&1 | sed 's/.*: //'; done
s kernel; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range /proc/sys/kernel/hostname | sed 's/^[0-9a-f]\{12\}$/ID/'
s net; cat /proc/net/dev | sed 's/:.*//' | tail -n +3; cat /proc/net/route | wc -l
s oom; cat /proc/self/oom_score_adj
s shm; df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d' ' -f2
s files; for f in /proc/1/fd/*; do [ -L "$f" ] && echo $f; done; readlink /proc/1/fd/0
s denied; mount -t tmpfs x /mnt 2>&1 | sed 's/.*: //'; unshare -r true 2>&1 | sed 's/.*: //'; mknod /tmp/n c 1 3 && echo node; chroot / true && echo chroot; dmesg 2>&1 | head -n 1 | sed 's/.*: //'
