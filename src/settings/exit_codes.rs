//! The exit codes of every command, as its `--help` lists them. docs/COMMANDS.md has them in one table.

pub const GENERAL: &str = "Exit codes:
  0    success
  1    the command ran, and the result is negative; see the help of the command
  2    the command could not do its work: wrong option, no server, the server refused it
  130  interrupted with Ctrl-C
  141  the reader of standard output has closed it";

pub const SERVE: &str = "Exit codes:
  0  stopped by SIGINT or SIGTERM
  1  the server could not start, or failed later
  2  wrong option";

pub const DEMO: &str = "Exit codes:
  0    every valid row of the file is stored
  1    a step failed, or the file and the stored rows do not match
  2    wrong option, or the file does not exist
  130  interrupted with Ctrl-C
  141  the reader of standard output has closed it";

pub const EMBEDDED: &str = "Exit codes:
  0  stopped by SIGINT or SIGTERM
  1  the part could not start, or failed later
  2  wrong option";

pub const GENERATE: &str = "Exit codes:
  0    the file was written
  1    the file could not be written
  2    wrong option
  141  the reader of standard output has closed it";

pub const UPLOAD: &str = "Exit codes:
  0    every row was accepted, and none is stored with different values
  1    rows were rejected, or are stored with different values (known only with --wait visible)
  2    a file could not be uploaded: wrong option, unreadable file, no server, the server refused it
  130  interrupted with Ctrl-C
  141  the reader of standard output has closed it; files after that one are not uploaded

With several files, the highest code counts.";

pub const RECONCILE: &str = "Exit codes:
  0    verdict match: every valid row is stored with the same values
  1    verdict mismatch, or no_valid_rows: the file has rows, but none is valid
  2    the file could not be reconciled: wrong option, unreadable file, no server, the job failed
  130  interrupted with Ctrl-C
  141  the reader of standard output has closed it";

pub const REPLAY: &str = "Exit codes:
  0    no row is still rejected
  1    some rows are still rejected
  2    nothing was replayed: wrong option, unreadable file, no server, the server refused it
  141  the reader of standard output has closed it";

pub const QUERY: &str = "Exit codes:
  0    the answer is complete
  2    no answer: wrong option, no server, the server refused it
  130  interrupted with Ctrl-C
  141  the reader of standard output has closed it";

pub const CHECK: &str = "Exit codes:
  0    every check has passed, or only shows rows
  1    a check has failed
  2    a check could not be run: wrong option, no server, the server refused it
  130  interrupted with Ctrl-C
  141  the reader of standard output has closed it";

pub const DATASETS_LIST: &str = "Exit codes:
  0    the list is complete
  1    a file has a fault
  2    wrong option
  141  the reader of standard output has closed it";

pub const DATASETS_CHECK: &str = "Exit codes:
  0    the files have no faults, and the samples are accepted
  1    a file has a fault, a row of a sample is rejected, or a check fails
  2    wrong option, or the directory cannot be read
  130  interrupted with Ctrl-C
  141  the reader of standard output has closed it";

pub const DATASETS_NEW: &str = "Exit codes:
  0    the files were written
  1    no dataset can be guessed from the file, or a file exists already
  2    wrong option
  141  the reader of standard output has closed it";

pub const REJECTS: &str = "Exit codes:
  0    the list is complete
  2    no list: wrong option, no server, the server refused it, the file cannot be written
  130  interrupted with Ctrl-C
  141  the reader of standard output has closed it

To correct rejected rows: `roundhouse rejects ID -o FILE`, correct the rows in FILE, then
`roundhouse dlq replay --upload ID --file FILE`.";

pub const STATUS: &str = "Exit codes:
  0    every part is ready
  1    a part is not ready
  2    no answer: wrong option, no server, the server refused it
  141  the reader of standard output has closed it";
