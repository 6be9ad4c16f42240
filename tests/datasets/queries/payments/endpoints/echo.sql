-- What was given.
-- param text required Any text
SELECT {text:String} AS text, length({text:String}) AS bytes
