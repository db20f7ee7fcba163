"""Django's commands, with the database's login from the same place as the server's: `python -m app.manage migrate`.

The shop never migrates by itself: it also starts beside a replica, which takes no writes.
"""

import os
import sys

from django.core.management import execute_from_command_line

from app.secret import SecretUnavailableError, add_database_login


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "app.settings")
    try:
        add_database_login()
    except SecretUnavailableError as error:
        sys.exit(str(error))
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
