# about: does not end
# where: host
# timeout: 1
sleep 100
