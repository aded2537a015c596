# about: a complaint of the kernel that the scenario states
# allow-log: WARNING: .*self-test
echo "WARNING: a complaint of the self-test" >/dev/kmsg
