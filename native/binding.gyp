{
  "targets": [
    {
      "target_name": "drift",
      "sources": ["src/binding.cc"],
      "include_dirs": ["<!(node -e \"require('nan')\")"]
    }
  ]
}
