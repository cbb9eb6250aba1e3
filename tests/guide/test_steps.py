"""Every step of the operational guide does what the guide promises, as docs/guide.md has it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from awaited import until
from guide_blocks import MISSING, NOT_NEEDED, ROOT, Block, Step, kept_blocks
from guided import Operator, block, journal_of

JOURNAL_REMOTE = Path("/lib/systemd/systemd-journal-remote")
NEEDED = {"jq": "jq", "curl": "curl", "promtool": "prometheus", "gpg": "gnupg", "top": "procps", "git": "git"}
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}


def steps(*by: str) -> list[Any]:
    """The steps that are tried in one of these ways, for a test each."""
    return [
        pytest.param(block, step, id=f"{block.number}-{' '.join(step.command.split())[:40]}")
        for block in kept_blocks()
        for step in block.steps
        if step.by in by and step.verdict != NOT_NEEDED
    ]


def need(command: str) -> None:
    """Skip where a program is missing that the command calls."""
    for program, package in NEEDED.items():
        if re.search(rf"(^|[|(] ?){program}\b", command, re.M) and shutil.which(program) is None:
            pytest.skip(f"needs the Debian package {package}")


def judge(step: Step, tried: Callable[[], str]) -> None:
    """A step works; one that is missing does not work yet."""
    if step.verdict != MISSING:
        tried()
        return
    with pytest.raises(AssertionError):
        tried()


def said(operator: Operator, step: Step, command: str) -> str:
    """What a command says, which ends well and says what is expected."""
    need(command)

    def complaint() -> str:
        done = operator.run(f"{step.first}\n{command}" if step.first else command)
        answers.append(f"{done.stdout}\n{done.stderr}")
        if done.returncode != 0:
            return f"{command} ended with {done.returncode}: {answers[-1]}"
        missing = [each for each in map(operator.put, step.expect) if not re.search(each, answers[-1])]
        return f"{missing} not in {answers[-1]}" if missing else ""

    answers: list[str] = []
    if step.waits:
        until(lambda: not complaint(), lambda: answers[-1])
    else:
        wrong = complaint()
        assert not wrong, wrong
    return answers[-1]


@pytest.mark.parametrize(("of", "step"), steps("shell"))
def test_a_command_of_the_guide_does_what_it_promises(operator: Operator, of: Block, step: Step) -> None:
    statement = f'psql -c "{step.command}"' if of.language == "sql" else step.command
    judge(step, lambda: said(operator, step, statement))


@pytest.mark.long
@pytest.mark.parametrize(("of", "step"), steps("long"))
def test_a_command_of_the_guide_that_takes_longer_does_too(operator: Operator, of: Block, step: Step) -> None:
    del of
    judge(step, lambda: said(operator, step, step.command))


@pytest.mark.parametrize(("of", "step"), steps("log"))
def test_the_engine_s_log_has_the_guide_s_phrases(operator: Operator, of: Block, step: Step) -> None:
    del of

    def found() -> str:
        log = (operator.home / "engine.log").read_text()
        assert step.command in log, log[:2000]
        return log

    judge(step, found)


@pytest.mark.parametrize(("of", "step"), steps("journal"))
def test_the_journal_is_searched_as_the_guide_does_it(operator: Operator, of: Block, step: Step) -> None:
    del of
    if shutil.which("journalctl") is None or not JOURNAL_REMOTE.exists():
        pytest.skip("needs the Debian packages systemd and systemd-journal-remote")
    journal = journal_of(operator, JOURNAL_REMOTE)
    command = operator.put(step.command).replace("journalctl ", f"journalctl --no-pager --file={journal} ")
    judge(step, lambda: said(operator, step, command))


def test_a_checkout_is_made_set_up_and_updated_by_the_guide_s_steps(operator: Operator) -> None:
    need("git")
    if not (ROOT / ".git").exists():
        pytest.skip("needs a checkout by git: this is none")
    folder = operator.home / "from-git"
    folder.mkdir()
    lines = [step.command for each in kept_blocks() for step in each.steps if step.by == "checkout"]
    # The checkout may be another user's than the test's.
    (operator.home / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    assert [line.split()[0] for line in lines] == ["git", "cd", "cp", "make", "git", "make", "make"]
    # The branch that is pulled is the one that was cloned, whatever its name is here.
    script = "\n".join(lines).replace("REPOSITORY", str(ROOT)).replace("origin main", "origin HEAD")
    script = script.replace("make install", "make --dry-run install")
    done = operator.run(f"set -e\n{script}\ntest -s .env", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("python=; for each in") == 3


def test_the_guide_s_env_file_is_read_as_it_stands(operator: Operator) -> None:
    step = block(4).steps[0]
    folder = operator.home / "env"
    folder.mkdir()
    (folder / ".env").write_text(step.command + "\n")
    shown = operator.run("env -u SOLANA_RPC_URL -u SOLANA_WS_URL liquidation-engine config show", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    for pattern in step.expect:
        assert re.search(pattern, shown.stdout), f"{pattern}: {shown.stdout}"
    assert "password" not in shown.stdout


def test_the_database_of_the_guide_can_hold_tables_and_with_its_own_line_more_it_could_too(
    operator: Operator,
) -> None:
    step = block(5).steps[1]
    [amendment] = re.findall("`(ALTER DATABASE [^`]+)`", step.why)
    owner = "SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert operator.run(f'psql -At -c "{owner}"').stdout == "liquidation\n"

    def theirs(statements: str, role: str) -> str:
        names = statements.replace("liquidation_db", "their_db").replace("liquidation", "them")
        return f'psql -U {role} -d postgres <<"TYPED"\n{names}\nTYPED'

    table = 'psql -U them -d their_db -c "CREATE TABLE a_table (id INT)"'
    assert operator.run(theirs(step.guide, "postgres")).returncode == 0
    refused = operator.run(table)
    assert "permission denied for schema public" in refused.stderr
    assert operator.run(theirs(amendment, "postgres")).returncode == 0
    assert operator.run(table).stdout == "CREATE TABLE\n"


def test_prometheus_takes_the_guide_s_rules_and_ours_have_their_names_and_corrected_numbers(
    operator: Operator,
) -> None:
    step = block(26).steps[0]
    (operator.home / "alerts.yml").write_text(step.guide.lstrip("\n"))
    said(operator, step, f"promtool check rules {operator.home}/alerts.yml")
    said(operator, step, step.command)
    ours = (ROOT / "monitoring" / "alerts.yml").read_text()
    for name in re.findall(r"alert: (\w+)", step.guide):
        assert f"alert: {name}\n" in ours
    assert "insurance_fund_balance < 10000000000\n" in ours


def test_the_guide_s_unit_and_ours_are_understood_by_systemd(operator: Operator) -> None:
    step = block(17).steps[0]
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs the Debian package systemd")
    folder = operator.home / "units"
    folder.mkdir()
    program = shutil.which("true")
    guide = step.guide.replace("/usr/local/bin/liquidation-engine-service", str(program)).lstrip("\n")
    (folder / "liquidation-engine.service").write_text(guide)
    said(
        operator,
        Step(step.guide, step.verdict),
        f"systemd-analyze verify {folder}/liquidation-engine.service",
    )

    def ours() -> str:
        assert (ROOT / step.ours).exists(), step.ours
        text = re.sub(r"(?m)^Exec(\w+)=\S+", rf"Exec\1={program}", (ROOT / step.ours).read_text())
        (folder / "liquidation-engine.service").write_text(text)
        check = f"systemd-analyze verify {folder}/liquidation-engine.service"
        return said(operator, Step(step.guide, step.verdict), check)

    judge(step, ours)


def test_the_unit_is_enabled_as_the_guide_does_it(operator: Operator) -> None:
    if shutil.which("systemctl") is None:
        pytest.skip("needs the Debian package systemd")
    system = operator.home / "system"
    units = system / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    (units / "liquidation-engine.service").write_text(block(17).steps[0].guide.lstrip("\n"))
    [enable] = [step for step in block(18).steps if step.by == "enable"]
    done = operator.run(enable.command.replace("systemctl ", f"systemctl --root={system} "))
    assert done.returncode == 0, done.stderr
    assert (units / "multi-user.target.wants" / "liquidation-engine.service").is_symlink()


def test_the_fund_s_utilization_is_the_guide_s_formula_from_the_chain_and_from_sql(
    operator: Operator,
) -> None:
    assert block(38).steps[0].guide.endswith("Total Bad Debt Covered / Total Contributions")
    query = block(39).steps[0].guide.strip().rstrip(";")
    told: list[tuple[dict[str, int], list[str]]] = []

    def agree() -> bool:
        row = operator.run(f'psql -At -c "{query}"').stdout.strip().split("|")
        fund = operator.ask("/insurance/balance")
        told.append((fund, row))
        of_the_chain = (fund["total_bad_debt_covered"], fund["total_contributions"])
        return of_the_chain == (int(row[0]), int(row[1]))

    # The record has what the fund paid once that is final, 31 slots after the chain's own figures have it.
    until(agree, lambda: str(told[-1]))
    fund, row = told[-1]
    covered, contributed = fund["total_bad_debt_covered"], fund["total_contributions"]
    assert fund["utilization_ratio"] == pytest.approx(covered / contributed, abs=1e-4)
    assert float(row[2]) == pytest.approx(100 * covered / contributed, abs=0.01)


def test_a_backup_by_the_guide_is_restored_by_the_guide(operator: Operator) -> None:
    save, restore = block(51).steps
    done = operator.run(save.command)
    assert (done.returncode, done.stderr) == (0, "")
    [backup] = operator.checkout.glob("backup_20*.sql.gz")
    assert operator.run("psql -U postgres -c 'CREATE DATABASE restored_db OWNER liquidation'").returncode == 0
    into = restore.command.replace("backup_20240115.sql.gz", backup.name).replace(
        "liquidation_db", "-v ON_ERROR_STOP=1 restored_db"
    )
    done = operator.run(into)
    assert done.returncode == 0, done.stderr
    count = 'psql -At -d {} -c "SELECT count(*) FROM liquidations"'
    rows = [int(operator.run(count.format(name)).stdout) for name in ("restored_db", "liquidation_db")]
    assert 0 < rows[0] <= rows[1]


def test_a_wallet_is_encrypted_by_the_guide_and_comes_back(operator: Operator) -> None:
    step = block(52).steps[0]
    need("gpg")
    key = "~/liquidator-keypair.json"
    made = operator.run(f"rm -f {key}*; liquidation-engine wallet new --file {key}")
    assert made.returncode == 0, made.stderr
    quiet = "gpg --batch --pinentry-mode loopback --passphrase 'of the test' "
    assert operator.run(step.command.replace("gpg ", quiet)).returncode == 0
    locked = operator.home / "liquidator-keypair.json.gpg"
    opened = operator.run(f"{quiet} --decrypt {locked}")
    assert opened.stdout == (operator.home / "liquidator-keypair.json").read_text()


def test_each_step_that_no_test_runs_says_why_and_is_the_one_that_cannot_run_here() -> None:
    not_run = [step for each in kept_blocks() for step in each.steps if step.by == "not run"]
    assert all(step.not_run and step.verdict != MISSING for step in not_run)
    assert [step.command for step in not_run] == ["make lock"]
