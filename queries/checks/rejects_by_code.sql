-- What was wrong with the lines that were not accepted.
SELECT code, column, count() AS lines, any(reason) AS reason, any(raw) AS example
FROM rejects
GROUP BY code, column
ORDER BY lines DESC
