"""Workers: processes of this machine or Ray actors; nothing here knows what a job is."""
