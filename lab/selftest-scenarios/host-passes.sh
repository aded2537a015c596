# about: nothing fails
# where: host
expect_failure false
wait_until 1 true
