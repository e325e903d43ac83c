{
  "variables": {
    # Nobody reads the floating-point status flags: without that promise gcc leaves compares in loops scalar.
    # Compiled once per instruction set, with DRIFT_ISA naming the build.
    "kernel_sources": ["src/distance.c", "src/nearest.c", "src/nearest-filter.c", "src/project.c", "src/sums.c", "src/sq8.c", "src/topk.c", "src/hnsw.c",
                       "src/rotate.c", "src/rows.c", "src/search.c", "src/assign.c", "src/halve.c", "src/pq.c", "src/affine.c", "src/float_page.c", "src/crc32c.c", "src/table.c"],
    "c_flags": ["-std=gnu11", "-O3", "-fno-trapping-math", "-fno-math-errno", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"],
    "node_major": "<!(node -p \"process.versions.node.split('.')[0]\")"
  },
  "targets": [
    {
      "target_name": "drift",
      "sources": ["src/binding.cc", "src/dispatch.c", "src/hash64.c", "src/bits.c", "src/scratch.c", "src/system.c"],
      "include_dirs": ["<!(node -e \"require('nan')\")"],
      "cflags": ["-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-cast-function-type", "-Wno-unused-parameter"],
      "cflags_c": ["-std=gnu11"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "xcode_settings": {
        "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
        "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
        "GCC_OPTIMIZATION_LEVEL": "3"
      },
      "conditions": [
        # The V8 headers of Node 24 need C++20; those of Node 20 warn in it.
        ["node_major >= 24", { "cflags_cc": ["-std=c++20"] }, { "cflags_cc": ["-std=c++17"] }],
        ["target_arch == 'x64'", {
          "dependencies": ["kernels_c", "kernels_avx2", "kernels_avx512"],
          "cflags_c": ["-msse4.2"],
          "xcode_settings": { "OTHER_CFLAGS": ["-msse4.2"] }
        }],
        ["target_arch == 'arm64'", {
          "dependencies": ["kernels_neon"]
        }]
      ]
    }
  ],
  "conditions": [
    ["target_arch == 'x64'", {
      "targets": [
        {
          "target_name": "kernels_c",
          "type": "static_library",
          "variables": { "isa_flags": ["-DDRIFT_ISA=c", "-msse4.2", "-mpopcnt", "-mpclmul"] },
          "sources": ["<@(kernel_sources)"],
          "cflags": ["<@(c_flags)", "<@(isa_flags)"],
          "xcode_settings": { "OTHER_CFLAGS": ["<@(c_flags)", "<@(isa_flags)"] }
        },
        {
          "target_name": "kernels_avx2",
          "type": "static_library",
          "variables": { "isa_flags": ["-DDRIFT_ISA=avx2", "-mavx2", "-mfma", "-mpclmul"] },
          "sources": ["<@(kernel_sources)"],
          "cflags": ["<@(c_flags)", "<@(isa_flags)"],
          "xcode_settings": { "OTHER_CFLAGS": ["<@(c_flags)", "<@(isa_flags)"] }
        },
        {
          "target_name": "kernels_avx512",
          "type": "static_library",
          "variables": {
            "isa_flags": [
              "-DDRIFT_ISA=avx512", "-mavx2", "-mfma", "-mpclmul",
              "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mprefer-vector-width=512"
            ]
          },
          "sources": ["<@(kernel_sources)"],
          "cflags": ["<@(c_flags)", "<@(isa_flags)"],
          "xcode_settings": { "OTHER_CFLAGS": ["<@(c_flags)", "<@(isa_flags)"] }
        }
      ]
    }],
    ["target_arch == 'arm64'", {
      "targets": [
        {
          "target_name": "kernels_neon",
          "type": "static_library",
          "sources": ["<@(kernel_sources)"],
          "cflags": ["<@(c_flags)", "-DDRIFT_ISA=neon", "-march=armv8-a+crc"],
          "xcode_settings": { "OTHER_CFLAGS": ["<@(c_flags)", "-DDRIFT_ISA=neon"] }
        }
      ]
    }]
  ]
}
