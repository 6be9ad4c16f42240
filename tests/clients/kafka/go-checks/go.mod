module roundhouse.test/checks

go 1.24
