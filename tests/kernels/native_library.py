"""The C++ library of a kernel, for the tests of what is computed by it."""

import pytest

from kernels.native.library import Library, compiler

needs_compiler = pytest.mark.skipif(
    compiler() is None, reason="there is no C++ compiler: the native kernel cannot be built"
)


def built(library: Library):
    """A fixture of a module: the library of `make native`, or one built for these tests."""

    @pytest.fixture(autouse=True, scope="module")
    def made(tmp_path_factory):
        with pytest.MonkeyPatch.context() as patch:
            if library.why_not() and compiler():
                patch.setattr(library, "build_folder", tmp_path_factory.mktemp("native"))
                library.build()
            yield

    return made
