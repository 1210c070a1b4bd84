"""What our programs call themselves to Postgres: pg_stat_activity has it as application_name.

Containers of other builds read these names, so they stay. They are written here and nowhere else.
"""

AGENT = "steward"
BACKUP = "appliance backup"
COMMAND = "appliance"
DOCTOR = "appliance doctor"
STATUS = "appliance status"

# Who is given time to end before the database moves, in whatever container it runs.
DUMPS = ("pg_dump", "pg_dumpall", BACKUP)
