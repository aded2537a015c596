# about: cannot run here
# where: host
skip "no such machine"
