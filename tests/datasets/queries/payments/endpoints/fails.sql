-- Fails for one text, for the tests.
-- param text required Any text
SELECT throwIf({text:String} = 'fail', 'a secret of the statement') AS failed
