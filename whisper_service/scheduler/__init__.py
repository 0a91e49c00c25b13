"""One loop that handles requests and reports, makes a plan, and carries it out."""
