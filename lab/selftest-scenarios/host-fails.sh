# about: a command fails inside a function
# where: host
compare() {
    expect_equal "$(printf found)" wanted "the word"
}
compare
