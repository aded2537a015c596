# about: a program that does not end, and ignores that it should
# timeout: 2
trap '' TERM
sleep 100
