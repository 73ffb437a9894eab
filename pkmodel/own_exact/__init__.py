"""Cases of dosing solved exactly, and how far this program is from them.

The numbers were calculated with 40 digits for this project. A case (``cases.csv``) is a table of records in processing
order (``records.csv``), each with the amounts expected *after* it; ``metrics.csv`` holds figures inside of steps.

    tables   the records, through ``simulate_records`` as a user would
    inside   the figures, straight from the kernel
"""
