"""`flowrunner validate`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from flowrunner.bootstrap import LOCAL_ACCOUNT
from flowrunner.cli.engines import engine_for, settings_for
from flowrunner.cli.exits import ExitCode, escape, exit_code, print_error, read_flow_file
from flowrunner.core.flow import Json
from flowrunner.core.ids import AccountId
from flowrunner.core.problems import Problem
from flowrunner.errors import FlowrunnerError
from flowrunner.language.errors import InvalidFlow


def validate_files(files: Sequence[Path], *, as_json: bool, secrets_file: Path | None, strict: bool) -> ExitCode:
    """Check each file and say what is wrong. Answers the worst exit code."""
    worst = ExitCode.OK
    documents: list[dict[str, Json]] = []
    loaded = settings_for(store="memory:", secrets_file=secrets_file)
    account = AccountId(LOCAL_ACCOUNT) if secrets_file else None
    with engine_for(loaded) as engine:
        for file in files:
            try:
                flow = engine.load(read_flow_file(file), account)
                problems: Sequence[Problem] = flow.warnings
                code = ExitCode.INVALID if strict and problems else ExitCode.OK
            except InvalidFlow as error:
                problems, code = error.problems, ExitCode.INVALID
            except FlowrunnerError as error:
                if not as_json:
                    print_error(error)
                problems, code = [Problem("", str(error))], exit_code(error)
                documents.append(_document(file, code, problems))
                worst = max(worst, code)
                continue
            worst = max(worst, code)
            documents.append(_document(file, code, problems))
            if not as_json:
                _show(file, code, problems)
    if as_json:
        print(json.dumps({"valid": worst is ExitCode.OK, "files": documents}, ensure_ascii=False))
    return worst


def _show(file: Path, code: ExitCode, problems: Sequence[Problem]) -> None:
    for problem in problems:
        print(f"{file}: {escape(str(problem))}", file=sys.stderr)
    if code is ExitCode.OK:
        warned = f" ({len(problems)} warning{'s' * (len(problems) != 1)})" if problems else ""
        print(f"{file}: valid{warned}")


def _document(file: Path, code: ExitCode, problems: Sequence[Problem]) -> dict[str, Json]:
    return {
        "file": str(file),
        "valid": code is ExitCode.OK,
        "problems": [
            {
                "severity": problem.severity,
                "field": problem.field,
                "message": problem.message,
                "line": problem.line,
                "column": problem.column,
                "suggestion": problem.suggestion,
            }
            for problem in problems
        ],
    }
