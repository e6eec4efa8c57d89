"""Build steps that pyproject.toml cannot say: the optional compiled core, and the data.

The core is skipped where it cannot be compiled (no compiler, ``CC=false``), unless
``GEORESTRICT_REQUIRE_COMPILED=1``. The image is compiled from ``data/sources.toml`` by the package
itself, in a process of its own, with whichever core was just built.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Command, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

ROOT = Path(__file__).parent
REQUIRED = os.environ.get("GEORESTRICT_REQUIRE_COMPILED", "") not in ("", "0")
HOSTING_ASNS = "georestrict/networks/hosting_asns.csv"
ARGUMENTS = [] if sys.platform == "win32" else ["-O3"]


class BuildCore(build_ext):
    """Builds the core, or does without it where that is allowed."""

    def build_extension(self, extension):
        """Build, or leave nothing behind that would be taken for the result."""
        try:
            super().build_extension(extension)
        except (CCompilerError, ExecError, PlatformError) as error:
            if REQUIRED:
                raise
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            if self.editable_mode:  # the sources themselves are what is installed
                (ROOT / self.get_ext_filename(extension.name)).unlink(missing_ok=True)
            extension.optional = True  # what setuptools may miss when it copies results
            print(f"georestrict: the core was not compiled ({error}); plain Python will serve")


class BuildImage(Command):
    """Compiles the default image into the package, and copies the table of hosting AS numbers.

    (setuptools' SubCommand protocol)
    """

    user_options = ()

    def initialize_options(self):
        """Set what setuptools fills in."""
        self.build_lib = None
        self.editable_mode = False

    def finalize_options(self):
        """Take the build folder from the build command."""
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self):
        """Run the package from where it was built."""
        folder = ROOT if self.editable_mode else Path(self.build_lib)
        code = (
            "import sys; from pathlib import Path; from georestrict.manifest import Manifest; "
            "from georestrict.table import publish; "
            "publish(Path(sys.argv[2]), Manifest.load(Path(sys.argv[1])).compile())"
        )
        shutil.copyfile(ROOT / "data/hosting_asns.csv", folder / HOSTING_ASNS)
        output = folder.resolve() / "georestrict" / "default.grdb"
        command = [sys.executable, "-c", code, str(ROOT / "data/sources.toml"), str(output)]
        # after it what pip put there: in its isolated builds cachetools is found in no other way
        searched = [str(folder.resolve()), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, searched))}
        subprocess.run(command, check=True, env=environment, cwd=folder)  # noqa: S603 our own interpreter

    def get_outputs(self):
        """What the wheel takes from the build folder."""
        built = ("georestrict/default.grdb", HOSTING_ASNS)
        return [str(Path(self.build_lib) / name) for name in built]

    def get_source_files(self):
        """What an sdist must hold for this step."""
        return [
            str(path.relative_to(ROOT))
            for path in sorted((ROOT / "data").rglob("*"))
            if path.is_file() and path.suffix != ".pyc"
        ]

    def get_output_mapping(self):
        """Nothing that an editable install could link to."""
        return {}


class Build(build):
    """The usual build, then the image."""

    sub_commands = (*build.sub_commands, ("build_image", None))


setup(
    ext_modules=cythonize(
        [
            Extension(
                "georestrict._core._compiled",
                ["georestrict/_core/_compiled.pyx"],
                extra_compile_args=ARGUMENTS,
                depends=[
                    str(path.relative_to(ROOT)) for path in ROOT.glob("georestrict/_core/*.[ph]*")
                ],
            )
        ],
    ),
    cmdclass={"build": Build, "build_ext": BuildCore, "build_image": BuildImage},
)
