"""What can go wrong for reasons that a person can mend: each error says what, where and what to do, on one line."""


class LabError(Exception):
    """A foreseen failure. The command prints its sentence and exits 2; no traceback, for there is nothing to debug."""

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        """Three parts of one line: what happened, where (a file, an address, an option), what to do about it."""
        self.what = what
        self.where = where
        self.do = do
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """`what, where, what to do` on one line, whatever line breaks its parts contain."""
        return ", ".join(" ".join(part.split()) for part in (self.what, self.where, self.do) if part.strip())


class OptionRefused(LabError):
    """An option's value is unknown, impossible, or contradicts another option."""


class PostgresUnavailable(LabError):
    """There are no PostgreSQL programs for this platform, or they do not start."""


class TemplateError(LabError):
    """The template does not parse, or names something that it does not define."""


class StackRefused(LabError):
    """The template is well-formed, but asks for what the lab does not imitate or what its own rules forbid."""


class PortBusy(LabError):
    """Another program listens where the lab has to listen."""


class RuntimeEmulatorMissing(LabError):
    """`--lambda rie` was asked for and the runtime emulator, or what it needs, is not there."""
