"""The browser page's server: one process that opens projects and answers the page; jobs run without it."""
