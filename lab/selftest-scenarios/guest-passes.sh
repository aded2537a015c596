# about: comes after failures, and finds nothing of them
[[ -z $(pgrep sleep) ]]
report "a figure"
