"""What a project is: folders, journal, database, assets, groups, results."""
