"""Moves generated modules from the package meraki to the package merakibroker.

protoc names Python modules after the path of the proto. The vendor's SDK is a
package called meraki with a folder meraki/api in it, as ours would be: installed
side by side they would write into one another. So each import of ours is
rewritten and the modules lie under merakibroker. What is on the wire, and the
names in the descriptor pool, stay as they are.

    python relocate.py GENERATED PACKAGE
"""

import pathlib
import re
import sys

# "from meraki.organizations.v1 import devices_pb2 as ..." in modules and stubs.
FROM = re.compile(r"^(\s*from )meraki\.(\w+)\.v1( import \w+_pb2)", re.M)
# "import meraki.organizations.v1.devices_pb2" and uses of it, in gRPC's stubs.
DOTTED = re.compile(r"(?<![\w./\"'])meraki\.(\w+)\.v1\.(\w+_pb2)\b")


def relocate(text: str) -> str:
    text = FROM.sub(r"\1merakibroker.\2.v1\3", text)
    return DOTTED.sub(r"merakibroker.\1.v1.\2", text)


def main(generated: pathlib.Path, package: pathlib.Path) -> None:
    root = package / "merakibroker"
    root.mkdir(parents=True)
    (root / "py.typed").touch()
    (root / "__init__.py").write_text('"""Typed gRPC client of merakibroker."""\n')
    sections: dict[str, list[str]] = {}
    for source in sorted((generated / "meraki").rglob("*.py*")):
        relative = source.relative_to(generated / "meraki")
        section, version, name = relative.parts
        if version != "v1":
            sys.exit(f"{source}: the import rewriting knows v1 only")
        if "_pb2_grpc." in name and "class " not in source.with_suffix(".py").read_text():
            continue  # written for files without a service too
        target = root / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(relocate(source.read_text()))
        if source.suffix == ".py":
            sections.setdefault(section, []).append(target.stem)
    for section, modules in sections.items():
        everything = "".join(f"from merakibroker.{section}.v1.{m} import *\n" for m in sorted(modules))
        (root / section / "v1" / "__init__.py").write_text(everything)
        (root / section / "__init__.py").write_text(f"from merakibroker.{section}.v1 import *\n")
    left = [p for p in root.rglob("*.py*") if re.search(r"^\s*(from|import) meraki\.", p.read_text(), re.M)]
    if left:
        sys.exit(f"imports of meraki are left in {left[0]} and {len(left) - 1} more")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
