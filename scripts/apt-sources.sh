# Sourced by scripts that ask which Debian this is and where its packages come from. ROOT is empty, or where a test put its /etc.

field() { # field NAME: a value of os-release
  sed -n "s/^$1=//p" "$ROOT/etc/os-release" 2>/dev/null | tr -d '"' | head -n 1
}

# "URI KEYRING" of the archive that gives the suite $1, from deb822 files and from one-line lists; no keyring is "-".
archive_of() {
  for file in "$ROOT"/etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    awk -v suite="$1" '
      function flush() { if (found && uri != "" && enabled) print uri, (key == "" ? "-" : key); found = 0; uri = ""; key = ""; enabled = 1 }
      BEGIN { enabled = 1 }
      /^[ \t]*#/ { next }
      /^[ \t]*$/ { flush(); next }
      tolower($1) == "uris:" { uri = $2 }
      tolower($1) == "signed-by:" { if ($2 ~ /^\//) key = $2 }
      tolower($1) == "enabled:" { if (tolower($2) == "no") enabled = 0 }
      tolower($1) == "suites:" { for (i = 2; i <= NF; i++) if ($i == suite) found = 1 }
      END { flush() }
    ' "$file"
  done
  for file in "$ROOT"/etc/apt/sources.list "$ROOT"/etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] || continue
    awk -v suite="$1" '
      $1 != "deb" { next }
      {
        key = "-"; at = 2
        if ($2 ~ /^\[/) {
          while (at <= NF) {
            word = $at; gsub(/[][]/, "", word)
            if (word ~ /^signed-by=\//) key = substr(word, 11)
            if ($at ~ /\]$/) { at++; break }
            at++
          }
        }
        if ($(at + 1) == suite && $at !~ /^cdrom/) print $at, key
      }
    ' "$file"
  done
}
