"""C++ on the CPU: how the kernels' libraries are built and loaded, and the headers they share.

python -m kernels.native        compiles them for this machine (`make native`)
"""
