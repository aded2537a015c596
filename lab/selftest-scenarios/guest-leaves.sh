# about: leaves a mount and a program behind, which is allowed
mkdir left
mount -t tmpfs left left
sleep 100 &
