# about: a command fails without anybody looking
# where: host
false
report "never reached"
